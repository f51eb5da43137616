"""The commands, one file each; everything heavy is imported inside them, so that `--help` answers at once."""

from __future__ import annotations

from pipeline.commands.adopt import adopt
from pipeline.commands.audit import audit
from pipeline.commands.bundle import bundle
from pipeline.commands.compare import compare
from pipeline.commands.crosscheck import crosscheck
from pipeline.commands.data import data
from pipeline.commands.firmware import firmware
from pipeline.commands.fit import fit
from pipeline.commands.models import models
from pipeline.commands.parity import parity
from pipeline.commands.predict import predict
from pipeline.commands.report import report
from pipeline.commands.run import run
from pipeline.commands.shrink import shrink
from pipeline.commands.sign import sign
from pipeline.commands.supernet import supernet
from pipeline.commands.targets import targets
from pipeline.commands.teacher import teacher
from pipeline.commands.verify import verify

COMMANDS = (
    run, predict, audit, compare, fit, parity, crosscheck, firmware, shrink, models, supernet,
    teacher, targets, data, verify, sign, bundle, adopt, report,
)  # fmt: skip
