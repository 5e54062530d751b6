"""The list of known models is sound, and models inside the package are in it."""

from __future__ import annotations

from importlib import resources

from plm.checkpoints.catalogue import EMBEDDED, known_models
from plm.models.families import FAMILIES


def test_every_entry_is_of_a_known_family_with_positive_sizes() -> None:
    models = known_models()
    assert len(models) > 20
    for model in models:
        assert model.model_type in FAMILIES, model
        assert model.num_hidden_layers > 0, model
        assert model.hidden_size > 0, model


def test_names_are_unique_and_every_family_is_there() -> None:
    models = known_models()
    assert len({model.name for model in models}) == len(models)
    assert {model.model_type for model in models} == set(FAMILIES.names())


def test_sizes_agree_with_those_in_the_name() -> None:
    for model in known_models():
        if "_L-" in model.name:
            assert f"_L-{model.num_hidden_layers}_H-{model.hidden_size}_" in model.name


def test_models_inside_the_package_come_first() -> None:
    shelf = resources.files("plm") / "assets"
    folders = (
        sorted(entry.name for entry in shelf.iterdir() if (entry / "config.json").is_file()) if shelf.is_dir() else []
    )
    models = known_models()
    assert [model.name for model in models if model.is_embedded] == [EMBEDDED + name for name in folders]
    assert all(model.is_embedded for model in models[: len(folders)])
