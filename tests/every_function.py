"""Every function of `import smlmbench` once, in the order of a person's work; run beside tiny.yaml."""

import tifffile

import smlmbench

camera = {"kind": "scmos", "baseline_adu": 100, "e_per_adu": 0.5, "read_noise_e": 1.6}

study = smlmbench.load_study("tiny.yaml", sets=["training.samples=40"])
planned = smlmbench.plan(study, only=["model=fid*"])
finished = smlmbench.run(study, store="store", only=["model=fid*"], device="cpu", quiet=True)
board = smlmbench.leaderboard(study, "store")
single = smlmbench.leaderboard("tiny", "store", level="runs")
runs = smlmbench.runs("tiny.yaml", "store")
models = smlmbench.models()

movie, truth = smlmbench.simulate(study, 20, condition="low", seed=5)
found = smlmbench.predict("fid_storm", movie, camera=camera, threshold=0.0, store="store", device="cpu")
fitted = smlmbench.predict("peaks_gaussian", movie, camera=camera, pixel_size_nm=100)
scores = smlmbench.evaluate(fitted, truth)

tifffile.imwrite("drawn.tif", smlmbench.simulate(study, 60, condition="low", seed=6)[0])
calibrated = smlmbench.calibrate("drawn.tif", 100, camera=camera)

exported = smlmbench.export("fid_storm", "onnx", "exported", store="store")
again = smlmbench.predict(exported.files[0], movie, camera=camera, threshold=0.0, frames=(5, 15))

cells, _ = smlmbench.simulate({"density_per_um2": 0.3, "photons": 2000, "field_px": 32, "camera": camera}, 100)
tifffile.imwrite("cells.tif", cells, photometric="minisblack")
written = smlmbench.write_study("cells.tif", "cells.yaml", 100, camera)
