"""All file systems that Beam knows, as one."""

from __future__ import annotations

from typing import BinaryIO

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

__all__ = ["BEAM", "BeamFileSystem"]


class BeamFileSystem:
    """A `FileSystem`, see `records.file_system`: whose files it is, the scheme of a path says."""

    def paths(self, pattern: str) -> list[str]:
        """The files that match."""
        [match] = FileSystems.match([pattern])
        return [str(file.path) for file in match.metadata_list]

    def open(self, path: str) -> BinaryIO:
        """A file as its bytes. Beam unpacks none: it takes a packed file that is cut for one that is at its end."""
        handle: BinaryIO = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        return handle


BEAM = BeamFileSystem()
