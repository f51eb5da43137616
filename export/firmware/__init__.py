"""TFLite -> C firmware: lower, pack, write, build, emulate, prove."""
