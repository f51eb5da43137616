"""One file per stage: load inputs, compose a few library calls, save outputs. Stages never import stages."""
