"""Architectures (models/*.json), recipes of training (runs), pretraining and distillation: installed as plm.configs.

A package rather than a bare folder, because editable installs can place only real packages under another name.
"""
