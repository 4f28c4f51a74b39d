"""The set that a release declares, so that it can be built again or be the start of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from builders.errors import InputError
from builders.recipe_loading import load_recipe
from builders.release.card import words_back
from builders.release.snapshot import CARD, MANIFEST, read_manifest
from builders.set_file import declaration
from builders.sets import Released, Set


def released_set(folder: Path, shown: str) -> Set:
    """The set of a release in a folder; `shown` names it in errors and in what is built from it.

    Its paths start in the working folder. A Hub dataset that it was made from is pinned to the
    commit that was read.

    Raises:
        InputError: The folder holds no release, or one that declares no set.
        RecipeError: Its recipe cannot be loaded.
    """
    manifest = read_manifest(folder)
    if "declaration" not in manifest.get("set", {}):
        why = "an older potstill released it" if manifest else f"there is no {MANIFEST}"
        raise InputError(f"{shown} declares no set: {why}; start with `potstill new`")
    declared = declaration(manifest["set"]["declaration"], shown)
    recipe, seeds = load_recipe(declared.recipe), manifest["lineage"]["seeds"]
    source = getattr(declared, recipe.seeds.flag)
    if source and source.place and not seeds["revision"].startswith("sha256:"):
        pinned = source.model_copy(update={"revision": seeds["revision"]})
        declared = declared.model_copy(update={recipe.seeds.flag: pinned})
    words = words_back((folder / CARD).read_text(encoding="utf-8"))
    place = f"a file, `potstill new NAME --from {shown}` writes one"
    return Set(
        name=str(manifest["set"]["name"]),
        recipe=recipe,
        declaration=declared,
        words=replace(words, version_place=place),
        released=Released(
            shown=shown, source=seeds["revision"], code=manifest["lineage"].get("code")
        ),
    )
