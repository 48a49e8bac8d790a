"""What each figure means, in plain words: for the page, where it stands beside its number. The definitions
are PROTOCOL's.
"""

from __future__ import annotations

# By the beginning of a figure's name; the longest that fits is taken.
MEANINGS = {
    "rank-1": "Share of photos whose nearest person is the right one. A person counts by their best photo.",
    "rank-5": "Share of photos whose person is among the five nearest.",
    "rank-10": "Share of photos whose person is among the ten nearest.",
    "rank-1, averaged over people": (
        "First the share within each person, then the mean over people: many photos give no more weight."
    ),
    "rank-1 by mean template": (
        "The same where a person counts by the mean of their vectors, brought to length 1."
    ),
    "rank-1, mean template less best photo": (
        "How much the mean template gains, both measured on the same draws of people."
    ),
    "precision@1": "Share of photos whose nearest photo is of the same person.",
    "R-precision": (
        "Of the R nearest photos the share that is right, where R is how many photos of the person are"
        " enrolled."
    ),
    "MAP@R": "As R-precision, but right ones count more the nearer they come (Musgrave et al. 2020).",
    "MAP@R, averaged over people": "The same, first within each person, then the mean over people.",
    "classifier top-1": "The training run's own classifier, read without its margin.",
    "rank-1 of the worst": (
        "The mean of rank-1 over the people it works worst for: an average hides them. With few photos"
        " each, a part of it is bad luck."
    ),
    "rank-1 of mated searches": (
        "Share of photos of enrolled people whose nearest person is the right one, at any score."
    ),
    "rank-1 of mated searches by mean template": (
        "The same where a person counts by the mean of their vectors."
    ),
    "FNIR at FPIR": (
        "Share of photos of enrolled people that are missed or misnamed, at the threshold that lets so many"
        " searches of strangers get a name."
    ),
    "FNIR of enrolled people": (
        "Share of photos of the gallery's people that are missed or misnamed at its own threshold."
    ),
    "FNIR of newcomers": "The same of people who were enrolled beside them, and that no encoder has learned.",
    "FPIR of strangers": "Share of strangers' searches that get a name at the gallery's own threshold.",
    "FPIR of further strangers": "The same of people who have set no threshold.",
    "FPIR at the gallery's own threshold": (  # as cards of before have it
        "What a threshold read from the gallery's own people, without a stranger, really lets through."
    ),
    "FPIR at a threshold by its own people": (
        "What a threshold read from the gallery's own people, without a stranger, really lets through."
    ),
    "TPR at FPR": (
        "Share of same-person pairs accepted, at the smallest threshold that accepts at most so many pairs"
        " of different people. It is about pairs, not about searches of a gallery."
    ),
    "equal error rate": (
        "Where as large a share of same-person pairs is refused as of the other pairs is accepted. Lower is"
        " better."
    ),
    "accuracy, mean over folds": (
        "Share of pairs judged rightly; each fold by the threshold that serves the others best."
    ),
    "area under the ROC curve": (
        "The chance that a same-person pair scores higher than a pair of different people."
    ),
    "TAR at FAR": (
        "Share of same-person pairs accepted, at the smallest threshold that accepts at most so many pairs"
        " of different people."
    ),
}
TEMPLATE = "The same where a person counts by the mean of their vectors, brought to length 1."
DIFFERENCE = (
    "FNIR by mean template less FNIR by best photo, both on the same draws of people: below 0 the template"
    " misses fewer."
)

SECTION_WORDS = {
    "closed set": "Everybody who is asked for is enrolled. The question is only who comes first.",
    "open set 1:N": (
        "As in use: some of those who are asked for are strangers and must not get a name. FPIR"
        " (false-positive identification rate) is the share of strangers' searches with at least one"
        " candidate at or above the threshold; FNIR (false-negative identification rate) is the share of"
        " enrolled people's searches whose person is not the first candidate at or above it (ISO/IEC"
        " 19795-1)."
    ),
    "the gallery at its own threshold": (
        "The gallery as it stands: its faces, its way to score, its threshold, at which every answer is"
        " decided. The other sections put galleries together themselves and take the threshold that serves"
        " best there."
    ),
    "identification rate (pairs)": (
        "The CelebA-500 course's own measure: all pairs of query photos, and every query against every"
        " distractor. It is pairwise and says nothing of searching a gallery."
    ),
    "pairs, LFW protocol": (
        "Are two photos of one person? The protocol of Labeled Faces in the Wild: pairs in folds with nobody"
        " in two folds, the threshold of each fold taken from the others."
    ),
}

INTERVALS = (
    "Brackets are 95 % intervals from a bootstrap over people, because photos of one person are not"
    " independent. They tell what another draw of people of the same kind would give; they do not cover"
    " people of another kind, or other cameras. “Too few trials” stands where fewer than 3 / rate searches"
    " of strangers cannot speak of a rate."
)
NO_PROOF = "A score is not proof. Do not let it decide over anybody alone."


def meaning(name: str) -> str:
    """What a figure of this name is; an empty string for one that is not known."""
    if name.endswith("template less best photo") and name.startswith("FNIR"):
        return DIFFERENCE
    if name.endswith("by mean template") and name.startswith("FNIR"):
        return TEMPLATE
    fitting = [start for start in MEANINGS if name.startswith(start)]
    return MEANINGS[max(fitting, key=len)] if fitting else ""
