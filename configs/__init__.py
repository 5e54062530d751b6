"""Architectures (models/*.json), recipes of training (runs/*.toml) and pretraining (pretraining/*.toml): plm.configs.

A package rather than a bare folder, because editable installs can place only real packages under another name.
"""
