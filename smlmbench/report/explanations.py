"""What the numbers of a page mean, in the words of the protocol."""

PROTOCOLS = {
    "smlmbench-1": (
        "Detections and true emitters are paired frame by frame, nearest first, within 250 nm laterally and 500 nm "
        "axially (inclusive). Pairing uses the full field; what is counted lies strictly inside a border of 450 nm, "
        "a pair by its true emitter. Emitters dimmer than the data's min_photons are neutral. Counts and squared "
        "errors are pooled over all frames before any ratio is formed. Efficiency is "
        "100 − √((100 − JAC)² + (RMSE/nm)²) with JAC in percent and the radial RMSE; it may be negative, and no "
        "detection gives 0."
    ),
    "challenge-2016": (
        "The rules of the 2016 localization microscopy challenge: both tables are cut at a 450 nm border before they "
        "are paired nearest first within 250 nm laterally and 500 nm axially; counts are pooled over all frames. The "
        "brightness threshold is T = 0."
    ),
}

READING = (
    "Loss, λ, threshold and settings were chosen on validation. Only that pick of each model competes for best, ties "
    "and the Pareto front; every other row stands in the table of all rows, unranked. λ is stated for targets of unit "
    "mass.",
    "Intervals are 95 %: the frames' part from a bootstrap within each repeat, the repeats' part from a t-interval. "
    "Differences are paired over (repeat, block of frames); a win needs an interval that excludes 0 and the same sign "
    "in every repeat, everything else is a tie.",
    "Jaccard, precision, recall and F1 run from 0 to 1; RMSE is radial unless it says axial or per axis. NMSE* is read "
    "beside recall; a blank image has 1. mJac_c is the Jaccard index above chance, averaged over tolerances of 25 to "
    "250 nm; above 1 emitter/µm² it stands beside efficiency, and the best row needs both.",
    "Data without positions (image pairs) are ranked by NMSE*, lower is better: each predicted image is brought to its "
    "best gain and compared with its own target; means and intervals are over the pairs. SSIM, MS-SSIM and PSNR take "
    "the maximum of each blurred target as their range and are read beside the blank row.",
    "Latency is the median time of one frame (batch 1) on the first device, runtime and size of the study.",
)
