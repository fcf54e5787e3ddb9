"""smlmbench export: a trained network as a file for other programs and devices."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option

from smlmbench.cli.options import AsJson, Overwrite, Plugins, Store
from smlmbench.cli.output import emit, emit_json, note


def command(
    model: Annotated[str, Argument(help="Run id, cell_id, run's or model's name, or best.pt.")],
    form: Annotated[str, Option("--format", help="onnx, openvino, executorch or bioimageio.")] = "onnx",
    out: Annotated[Path, Option("--out", "-o", help="Folder for the files.")] = Path(),
    overwrite: Overwrite = False,
    store: Store = None,
    plugins: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Write a trained network as ONNX, OpenVINO, ExecuTorch or bioimage.io file, and check it without this package.

    Normalisation is inside; threshold and pixel size stand beside it as JSON. `smlmbench predict` takes the file too.

    Example: smlmbench export fid_storm-l1l2-200-r0-1a2b3c --format onnx --out models
    """
    from smlmbench.registry import Catalog

    catalog = Catalog(plugins or ())
    catalog.card("exports", form)
    from smlmbench.run.using.exporting import export_model

    found, made = export_model(model, form, out, store, catalog, overwrite=overwrite)
    if found.record is not None:
        note(str(found))
    parity = made.parity
    if as_json:
        emit_json({"files": made.files, "bytes": made.size_bytes, "parity": parity.as_dict()})
    else:
        for path in made.files:
            emit(str(path))
        sizes = ", ".join(" x ".join(map(str, shape[2:])) for shape in parity.sizes)
        verdict = "agrees with" if parity.passed else "DIFFERS from"
        emit(f"{made.size_bytes:,} bytes; {verdict} the network: {parity.gap:.1e} of its range at {sizes} px")
    if not parity.passed:
        raise Exit(1)
