"""Packed stores: building, opening, listing; splits and batches of their crystals."""

from sitenet_core.data.batches import epoch_order, plan_batches
from sitenet_core.data.build import (
    BuildOptions,
    BuildProgress,
    build_store,
    open_or_build,
    store_identity,
    store_path,
)
from sitenet_core.data.catalogue import StoreSummary, list_stores
from sitenet_core.data.conform import conform
from sitenet_core.data.groups import prototype_keys
from sitenet_core.data.header import StoreHeader
from sitenet_core.data.location import data_root, default_store_root
from sitenet_core.data.report import BuildReport, SkippedRow
from sitenet_core.data.schema import CRYSTAL, ArraySpec, FeatureArrays, FeatureRecipe
from sitenet_core.data.shares import training_share
from sitenet_core.data.split import ExcludedRow, Split, load_split
from sitenet_core.data.splits import make_split
from sitenet_core.data.store import PackedStore
from sitenet_core.data.verification import open_verified

__all__ = [
    "CRYSTAL",
    "ArraySpec",
    "BuildOptions",
    "BuildProgress",
    "BuildReport",
    "ExcludedRow",
    "FeatureArrays",
    "FeatureRecipe",
    "PackedStore",
    "SkippedRow",
    "Split",
    "StoreHeader",
    "StoreSummary",
    "build_store",
    "conform",
    "data_root",
    "default_store_root",
    "epoch_order",
    "list_stores",
    "load_split",
    "make_split",
    "open_or_build",
    "open_verified",
    "plan_batches",
    "prototype_keys",
    "store_identity",
    "store_path",
    "training_share",
]
