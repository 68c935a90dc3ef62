"""A typical use of each library that plugins were tried with.

A case gets an empty directory that it may write, and returns something that is not empty.  Its library is
imported before, by the name that stands in :data:`CASES`.
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import datetime
import importlib
import io
import json
import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


class Case(NamedTuple):
    """A library: the distribution, what is imported, what is done, in words and in code."""

    distribution: str
    module: str
    use: str
    run: Callable[[Any, Path], object]


CASES: dict[str, Case] = {}


def case(
    distribution: str, module: str, use: str
) -> Callable[[Callable[[Any, Path], object]], None]:
    """Add the function as the case of a library."""

    def add(run: Callable[[Any, Path], object]) -> None:
        CASES[distribution.lower()] = Case(distribution, module, use, run)

    return add


def attempt(name: str) -> None:
    """Run a case, and print how long its import and its use took."""
    chosen = CASES[name]
    began = time.perf_counter()
    module = importlib.import_module(chosen.module)
    imported = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        if not chosen.run(module, Path(place)):
            raise ValueError("there is no result")
    used = time.perf_counter()
    report = {"import": imported - began, "use": used - imported}
    print(f"REPORT {json.dumps(report)}", file=sys.stderr, flush=True)


ROWS = [{"name": f"n{number % 7}", "value": number / 3} for number in range(10_000)]


@case("numpy", "numpy", "solve 300 equations, save and load the result")
def _numpy(np: Any, place: Path) -> object:
    matrix = np.random.default_rng(1).random((300, 300)) + np.eye(300) * 300
    np.save(place / "a.npy", np.linalg.solve(matrix, np.ones(300)))
    return np.load(place / "a.npy", mmap_mode="r").size


@case("pandas", "pandas", "group 10,000 rows; CSV and Excel")
def _pandas(pd: Any, place: Path) -> object:
    frame = pd.DataFrame(ROWS).groupby("name").sum()
    frame.to_csv(place / "a.csv")
    frame.to_excel(place / "a.xlsx")
    return len(pd.read_csv(place / "a.csv"))


@case("pyarrow", "pyarrow.parquet", "write a table as Parquet, read it through a map")
def _pyarrow(parquet: Any, place: Path) -> object:
    import pyarrow

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), place / "a.parquet")
    return parquet.read_table(place / "a.parquet", memory_map=True).num_rows


@case("polars", "polars", "group 10,000 rows, lazily; Parquet")
def _polars(pl: Any, place: Path) -> object:
    pl.DataFrame(ROWS).write_parquet(place / "a.parquet")
    lazy = pl.scan_parquet(place / "a.parquet").group_by("name").agg(pl.col("value").sum())
    return lazy.collect().height


@case("duckdb", "duckdb", "a database in a file; group, export as Parquet")
def _duckdb(duckdb: Any, place: Path) -> object:
    connection = duckdb.connect(str(place / "a.duckdb"))
    connection.execute("create table t as select i % 7 as n, i as v from range(10000) r(i)")
    connection.execute(f"copy (select n, sum(v) from t group by n) to '{place}/a.parquet'")
    return connection.execute(f"select count(*) from '{place}/a.parquet'").fetchone()


@case("pydantic", "pydantic", "a model: its JSON Schema, a validation")
def _pydantic(pydantic: Any, place: Path) -> object:
    model = pydantic.create_model("Reading", taken=(datetime.datetime, ...), value=(float, 0))
    return model.model_json_schema(), model.model_validate({"taken": "2026-01-01T00:00:00Z"})


@case("lxml", "lxml.etree", "parse, XPath, XSLT, write")
def _lxml(etree: Any, place: Path) -> object:
    tree = etree.fromstring("<a><b n='1'/><b n='2'/></a>")
    style = etree.XML(
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">'
        '<xsl:template match="/"><c><xsl:value-of select="count(//b)"/></c></xsl:template>'
        "</xsl:stylesheet>"
    )
    etree.XSLT(style)(tree).write(place / "a.xml")
    return tree.xpath("//b[@n='2']")


@case("cryptography", "cryptography.hazmat.primitives.asymmetric.ed25519", "sign and verify")
def _cryptography(ed25519: Any, place: Path) -> object:
    from cryptography.hazmat.primitives import hashes, serialization

    key = ed25519.Ed25519PrivateKey.generate()
    key.public_key().verify(key.sign(b"text"), b"text")
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(*pem), hashes.Hash(hashes.SHA256()).finalize()


@case("openpyxl", "openpyxl", "write a workbook of 10,000 rows, read it")
def _openpyxl(openpyxl: Any, place: Path) -> object:
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("a")
    for row in ROWS:
        sheet.append(list(row.values()))
    book.save(place / "a.xlsx")
    return openpyxl.load_workbook(place / "a.xlsx", read_only=True).active["A1"].value


@case("XlsxWriter", "xlsxwriter", "a workbook of 10,000 rows with a chart")
def _xlsxwriter(xlsxwriter: Any, place: Path) -> object:
    with xlsxwriter.Workbook(place / "a.xlsx") as book:
        sheet = book.add_worksheet("a")
        for number, row in enumerate(ROWS):
            sheet.write_row(number, 0, row.values())
        chart = book.add_chart({"type": "line"})
        chart.add_series({"values": "=a!$B$1:$B$50"})
        sheet.insert_chart("D2", chart)
    return (place / "a.xlsx").stat().st_size


@case("Jinja2", "jinja2", "a page from a template in a file, with its cache of bytecode")
def _jinja2(jinja2: Any, place: Path) -> object:
    (place / "a.html").write_text("{% for row in rows %}<p>{{ row.name }}</p>{% endfor %}")
    cache = jinja2.FileSystemBytecodeCache()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(place), bytecode_cache=cache, autoescape=True
    )
    return environment.get_template("a.html").render(rows=ROWS)


@case("matplotlib", "matplotlib.pyplot", "a plot as PNG, SVG and PDF")
def _matplotlib(plot: Any, place: Path) -> object:
    figure, axes = plot.subplots()
    axes.plot([row["value"] for row in ROWS])
    axes.set_title("values")
    for kind in ("png", "svg", "pdf"):
        figure.savefig(place / f"a.{kind}")
    return (place / "a.png").stat().st_size


@case("protobuf", "google.protobuf.struct_pb2", "encode, decode, JSON")
def _protobuf(struct: Any, place: Path) -> object:
    from google.protobuf import json_format

    message = struct.Struct()
    message.update({"a": [1, 2, {"b": None}]})
    again = struct.Struct.FromString(message.SerializeToString())
    return json_format.MessageToJson(again)


@case("orjson", "orjson", "encode and decode 10,000 rows")
def _orjson(orjson: Any, place: Path) -> object:
    return orjson.loads(orjson.dumps(ROWS))


@case("msgspec", "msgspec", "a schema; decode 10,000 typed rows")
def _msgspec(msgspec: Any, place: Path) -> object:
    row = msgspec.defstruct("Row", [("name", str), ("value", float)])
    msgspec.json.schema(row)
    return msgspec.json.decode(msgspec.json.encode(ROWS), type=list[row])  # type: ignore[valid-type]


@case("requests", "requests", "fetch a page")
def _requests(requests: Any, place: Path) -> object:
    return requests.get("http://127.0.0.1:9/", timeout=5).status_code


@case("scipy", "scipy.optimize", "minimise; a distribution; a sparse system")
def _scipy(optimize: Any, place: Path) -> object:
    from scipy import sparse, stats
    from scipy.sparse import linalg

    found = optimize.minimize(lambda x: (x[0] - 1) ** 2 + x[1] ** 2, [3.0, 4.0])
    system = sparse.diags([[2.0] * 50], [0]).tocsc()
    return found.success, stats.norm.cdf(1), linalg.spsolve(system, [1.0] * 50).size


@case("scikit-learn", "sklearn.ensemble", "train a forest on threads, keep it in a file")
def _sklearn(ensemble: Any, place: Path) -> object:
    import joblib

    inputs = [[number, number % 3] for number in range(300)]
    forest = ensemble.RandomForestClassifier(20, n_jobs=2, random_state=1)
    forest.fit(inputs, [number % 2 for number in range(300)])
    joblib.dump(forest, place / "a.joblib")
    return joblib.load(place / "a.joblib").predict(inputs[:3]).tolist()


@case("networkx", "networkx", "centrality and paths; GraphML")
def _networkx(networkx: Any, place: Path) -> object:
    graph = networkx.karate_club_graph()
    networkx.write_graphml(graph, place / "a.graphml")
    return networkx.pagerank(graph), networkx.shortest_path(graph, 0, 33)


@case("rdflib", "rdflib", "a graph as Turtle and JSON-LD; SPARQL")
def _rdflib(rdflib: Any, place: Path) -> object:
    graph = rdflib.Graph()
    graph.add((rdflib.URIRef("urn:a"), rdflib.RDFS.label, rdflib.Literal("a")))
    graph.serialize(place / "a.ttl")
    again = rdflib.Graph().parse(place / "a.ttl")
    return list(again.query("select ?o { ?s ?p ?o }")), again.serialize(format="json-ld")


@case("fhir.resources", "fhir.resources.observation", "validate an Observation")
def _fhir(observation: Any, place: Path) -> object:
    code = {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}
    data = {"resourceType": "Observation", "status": "final", "code": code}
    return observation.Observation.model_validate(data).model_dump_json()


@case("stix2", "stix2", "an indicator in a bundle, kept in a directory")
def _stix2(stix2: Any, place: Path) -> object:
    indicator = stix2.Indicator(
        pattern="[file:hashes.md5 = 'd41d8cd98f00b204e9800998ecf8427e']", pattern_type="stix"
    )
    store = stix2.FileSystemStore(str(place))
    store.add(stix2.Bundle(indicator))
    return store.get(indicator.id).serialize()


@case("cyclonedx-python-lib", "cyclonedx.model.bom", "a bill of materials as JSON and XML")
def _cyclonedx(bom: Any, place: Path) -> object:
    from cyclonedx.model.component import Component
    from cyclonedx.output.json import JsonV1Dot6
    from cyclonedx.output.xml import XmlV1Dot6

    made = bom.Bom(components=[Component(name="a", version="1")])
    return JsonV1Dot6(made).output_as_string(), XmlV1Dot6(made).output_as_string()


@case("numba", "numba", "compile a loop, with its cache")
def _numba(numba: Any, place: Path) -> object:
    return numba.njit(cache=True)(_sum)(1000)


def _sum(n: int) -> int:
    total = 0
    for number in range(n):
        total += number
    return total


@case("wasmtime", "wasmtime", "compile and run a function that has a memory")
def _wasmtime(wasmtime: Any, place: Path) -> object:
    config = wasmtime.Config()
    # It would reserve 4 GiB, which is all that a process may have.
    config.memory_reservation = 0
    store = wasmtime.Store(wasmtime.Engine(config))
    text = '(module (memory 1) (func (export "f") (result i32) i32.const 7))'
    module = wasmtime.Module(store.engine, text)
    return wasmtime.Instance(store, module, []).exports(store)["f"](store)


@case("the standard library", "multiprocessing.pool", "threads, SQLite, archives, copies")
def _standard(pool: Any, place: Path) -> object:
    import shutil
    import sqlite3
    import zipfile

    with pool.ThreadPool(4) as threads:
        threads.map(abs, range(100))
    database = sqlite3.connect(place / "a.db")
    database.execute("create table t (x)")
    database.commit()
    shutil.copy2(place / "a.db", place / "b.db")
    with zipfile.ZipFile(place / "a.zip", "w") as archive:
        archive.write(place / "b.db", "b.db")
    with tempfile.SpooledTemporaryFile(10) as spooled:
        pickle.dump(ROWS, spooled)
    return io.BytesIO((place / "a.zip").read_bytes()).getvalue()
