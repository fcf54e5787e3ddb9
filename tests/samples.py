"""A small file of every format, to be read, broken or looked at by tests; formats that write make their own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import openpyxl
import tifffile
from microscopes import write_nd2, write_sif
from scipy import io

from smlmbench.formats import TableOptions
from smlmbench.movies import ArrayMovie
from smlmbench.predictions import Localizations
from smlmbench.registry import Catalog

PX100 = TableOptions(pixel_size_nm=100.0)
COUNTS = np.random.default_rng(3).integers(90, 400, (5, 9, 12), dtype=np.uint16)
ROWS = 12
COLUMNS: dict[str, Any] = {
    "frame": np.arange(ROWS) // 2,
    "x_nm": np.linspace(80.0, 1100.5, ROWS),
    "y_nm": np.linspace(60.0, 850.25, ROWS),
    "z_nm": np.linspace(-300.0, 300.0, ROWS),
    "photons": np.linspace(500.0, 2000.0, ROWS),
}
Maker = Callable[[Path], Path]


def _text(name: str, text: str) -> Maker:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    return make


def _rows(head: str, row: str, delimiter: str = ",") -> str:
    lines = [row.format(k=k, frame=k // 2 + 1, x=80 + 90.5 * k, y=60 + 70 * k) for k in range(ROWS)]
    return "\n".join([head, *lines, ""]).replace(",", delimiter)


def _dax(folder: Path) -> Path:
    COUNTS.astype("<u2").tofile(folder / "m.dax")
    facts = "frame dimensions = 12 x 9\nnumber of frames = 5\ndata type = 16 bit integers (binary, little endian)\n"
    (folder / "m.inf").write_text(facts)
    return folder / "m.dax"


def _raw(folder: Path) -> Path:
    COUNTS.tofile(folder / "m.raw")
    (folder / "m.yaml").write_text("Byte Order: <\nData Type: uint16\nFrames: 5\nHeight: 9\nWidth: 12\n")
    return folder / "m.raw"


def _decode_h5(folder: Path) -> Path:
    with h5py.File(folder / "d.h5", "w") as file:
        file.create_group("meta").attrs.update({"xy_unit": "px", "px_size": [100.0, 100.0]})
        data = file.create_group("data")
        data["xyz"] = np.stack([COLUMNS["x_nm"] / 100, COLUMNS["y_nm"] / 100, COLUMNS["z_nm"]], axis=1)
        data["frame_ix"], data["phot"] = COLUMNS["frame"], COLUMNS["photons"]
    return folder / "d.h5"


def _mat(folder: Path) -> Path:
    io.savemat(folder / "a.mat", {"Recovery": COUNTS[0].astype(float), "note": "x"}, do_compression=True)
    return folder / "a.mat"


def _loc() -> dict[str, Any]:
    named = {
        "frame": COLUMNS["frame"] + 1.0,
        "xnm": COLUMNS["x_nm"],
        "ynm": COLUMNS["y_nm"],
        "phot": COLUMNS["photons"],
    }
    return {name: np.asarray(values).reshape(-1, 1) for name, values in named.items()}


def _sml_5(folder: Path) -> Path:
    io.savemat(folder / "a_sml.mat", {"saveloc": {"loc": _loc(), "history": {"a": 1.0}}}, do_compression=True)
    return folder / "a_sml.mat"


def _sml_73(folder: Path) -> Path:
    with h5py.File(folder / "a_sml.mat", "w", userblock_size=512) as file:
        for name, values in _loc().items():
            file.create_dataset(f"saveloc/loc/{name}", data=values.T, chunks=True, compression="gzip")
    with (folder / "a_sml.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return folder / "a_sml.mat"


def _workbook(folder: Path) -> Path:
    book = openpyxl.Workbook()
    for row in _rows("frame,x [nm],y [nm]", "{frame},{x},{y}").splitlines():
        book.active.append([float(cell) if cell[0].isdigit() else cell for cell in row.split(",")])
    book.save(folder / "a.xlsx")
    return folder / "a.xlsx"


def _tiff(**how: Any) -> Maker:
    def make(folder: Path) -> Path:
        tifffile.imwrite(folder / "m.tif", COUNTS, **how)
        return folder / "m.tif"

    return make


def _ome_set(folder: Path) -> Path:
    names = ["a_MMStack_Pos0.ome.tif", "a_MMStack_Pos0_1.ome.tif"]
    planes = "".join(
        f'<TiffData IFD="{page}" FirstT="{3 * k + page}" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{k:08d}-0000-'
        "0000-0000-000000000000</UUID></TiffData>"
        for k, name in enumerate(names)
        for page in range(3 - k)
    )
    for k, name in enumerate(names):
        text = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{k:08d}-0000-0000-0000-'
            '000000000000"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="12" '
            f'SizeY="9" SizeZ="1" SizeC="1" SizeT="5"><Channel ID="Channel:0:0"/>{planes}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(folder / name, ome=False) as file:
            for number, page in enumerate(COUNTS[3 * k : 3 * k + 3]):
                file.write(page, description=text if number == 0 else None, metadata=None)
    return folder / names[0]


def _folder(sizes: tuple[int, ...]) -> Maker:
    def make(folder: Path) -> Path:
        (folder / "frames").mkdir()
        for number, part in enumerate(np.split(COUNTS, np.cumsum(sizes)[:-1])):
            tifffile.imwrite(folder / "frames" / f"m_{number}.tif", part, photometric="minisblack")
        return folder / "frames"

    return make


DECODE_HEAD = (
    f"# An export\n# {json.dumps({'version': 'v0.10.1'})}\n# {json.dumps({'xy_unit': 'nm', 'px_size': [100, 100]})}\n"
)
N_HEAD = "Channel Name,X,Y,Xc,Yc,Frame,Length,Z,Zc,Photons"
E_HEAD = "Index,First Frame,Number Frames,Position X [nm],Position Y [nm],Precision [nm],Number Photons,Channel"
READ_ONLY: dict[str, list[Maker]] = {
    "challenge_csv": [
        _text("a.csv", _rows("Ground-truth,frame,xnano,ynano,znano,intensity ", "{k},{frame},{x},{y},-20,900"))
    ],
    "dax": [_dax],
    "decode_csv": [
        _text("a.csv", DECODE_HEAD + _rows("x,y,z,phot,frame_ix,id,prob,bg", "{x},{y},0,900,{k},-1,0.9,12"))
    ],
    "decode_h5": [_decode_h5],
    "elyra_txt": [
        _text("a.txt", _rows(E_HEAD, "{k},{frame},1,{x},{y},9,900,1", "\t")),
        _text("b.txt", _rows(E_HEAD, "{k},{frame},1,{x},{y},9,900,1", "\t") + "\0\nVoxelSizeX : 0.1\nSizeX : 64\n"),
    ],
    "mat_image": [_mat],
    "nd2": [lambda folder: write_nd2(folder / "m.nd2", COUNTS)],
    "nstorm": [_text("a.txt", _rows(N_HEAD, "647,{x},{y},{x},{y},{frame},1,-20,-20,900", "\t"))],
    "ome_tiff": [_ome_set],
    "picasso_raw": [_raw],
    "sif": [lambda folder: write_sif(folder / "m.sif", COUNTS)],
    "sml_mat": [_sml_5, _sml_73],
    "table": [_workbook, _text("a.tsv", _rows("frame,x [nm],y [nm],intensity [photon]", "{frame},{x},{y},900", "\t"))],
    "tiff_folder": [_folder((1, 1, 1, 1, 1)), _folder((2, 3))],
}
FURTHER: dict[str, list[Maker]] = {
    "tiff": [_tiff(imagej=True), _tiff(compression="zlib"), _tiff(bigtiff=True, ome=True, metadata={"axes": "TYX"})],
    "thunderstorm_csv": [
        _text("a.csv", _rows('"id","frame","x [nm]","y [nm]","intensity [photon]"', "{k},{frame},{x},{y},900", ";"))
    ],
}


def makers(catalog: Catalog, name: str) -> list[Maker]:
    """What makes small files of a format (KeyError: it is only read, and no sample of it is here)."""
    if not catalog.card("formats", name).facts["writes"]:
        return READ_ONLY[name]

    def write(folder: Path) -> Path:
        facts, module = catalog.card("formats", name).facts, catalog.module("formats", name)
        path = folder / f"a{facts['suffixes'][0]}"
        if facts["holds"] == "table":
            table = Localizations.of(COLUMNS, n_frames=10, field_nm=(1200.0, 900.0))
            module.write_table(table, path, PX100)
        elif facts["holds"] == "movie":
            module.write_movie(ArrayMovie(COUNTS), path, 100.0, None)
        else:
            module.write_image(path, COUNTS[0].astype(np.float32), 100.0)
        return path

    return [write, *FURTHER.get(name, [])]
