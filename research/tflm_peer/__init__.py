"""TFLite Micro beside the generated firmware: the same model, inputs and emulated core, from the user's own tree."""
