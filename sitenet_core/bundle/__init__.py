"""Bundles: a trained model as a folder of JSON and safetensors, without a pickle."""

from sitenet_core.bundle.header import BUNDLE_VERSION, BundleData, BundleHeader
from sitenet_core.bundle.load import Bundle, load_bundle, read_header
from sitenet_core.bundle.save import (
    BundleDescription,
    add_metrics,
    bundle_from_checkpoint,
    describe,
    save_bundle,
)

__all__ = [
    "BUNDLE_VERSION",
    "Bundle",
    "BundleData",
    "BundleDescription",
    "BundleHeader",
    "add_metrics",
    "bundle_from_checkpoint",
    "describe",
    "load_bundle",
    "read_header",
    "save_bundle",
]
