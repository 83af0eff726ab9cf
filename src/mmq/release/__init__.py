"""Releases: everything a service needs in one folder that never changes."""

from mmq.release._build import Parts, write_release
from mmq.release._manifest import MANIFEST, ReleaseManifest, ReleaseName, require_name
from mmq.release._release import Release

__all__ = [
    "MANIFEST",
    "Parts",
    "Release",
    "ReleaseManifest",
    "ReleaseName",
    "require_name",
    "write_release",
]
