"""bqemulator, with two things added that BigQuery does and bqemulator 1.4.0 does not; run as a program.

* A query with a destination makes that table. (It ignores the destination.)
* An extract job puts its file into Cloud Storage, with a number for the `*` in its name. (It writes to a path on disk,
  whose folder it does not make, with the `*` in the name, and Cloud Storage does not hear of it.)
"""

from __future__ import annotations

import os
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from bqemulator.api.routes import jobs as routes
from bqemulator.cli import main
from bqemulator.jobs import executor
from duckdb_extensions import import_extension

_execute_query = routes._execute_query_or_failed_meta
_copy_to_file = executor._copy_relation_to_file


async def _query_with_destination(*, bq_sql: str, query_config: dict[str, Any], **others: Any) -> Any:
    table = query_config.get("destinationTable")
    if table:
        bq_sql = f"CREATE TABLE `{table['projectId']}.{table['datasetId']}.{table['tableId']}` AS {bq_sql}"
    return await _execute_query(bq_sql=bq_sql, query_config=query_config, **others)


def _copy_to_bucket(relation_sql: str, dest_path: str, fmt: str, ctx: Any, **options: Any) -> None:
    bucket, _, name = str(Path(dest_path).relative_to(ctx.settings.gcs_local_root)).partition("/")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "part")
        _copy_to_file(relation_sql, str(file), fmt, ctx, **options)
        query = urllib.parse.urlencode({"uploadType": "media", "name": name.replace("*", "000000000000")})
        url = f"{os.environ['STORAGE_EMULATOR_HOST']}/upload/storage/v1/b/{bucket}/o?{query}"
        headers = {"Content-Type": "application/octet-stream"}
        urllib.request.urlopen(urllib.request.Request(url, file.read_bytes(), headers)).close()


if __name__ == "__main__":
    for name in ("spatial", "avro"):
        import_extension(name)  # from packages into the home directory: DuckDB would download them
    routes._execute_query_or_failed_meta = _query_with_destination
    executor._copy_relation_to_file = _copy_to_bucket
    main()
