"""Architectures (models/*.json) and training recipes (runs/*.toml), installed as plm.configs.

A package rather than a bare folder, because editable installs can place only real packages under another name.
"""
