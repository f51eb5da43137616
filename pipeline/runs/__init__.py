"""Run directories: what lies where, what a stage is, and which stages still hold."""
