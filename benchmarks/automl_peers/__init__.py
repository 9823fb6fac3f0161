"""
AutoML at equal time: the parts of `benchmarks/automl.py`.

    tables        what is learnt: files, target, metric; some are made from packages' data
    environments  the peers' virtual environments
    peers         one run of a peer's program, within bounds
    statements    one run of sqlml, through CREATE MODEL
    scoring       the one definition of every metric
    runs          a run's outcome, and the file of all of them
    comparison    means, ranks, normalised scores
    report        what `docs/benchmarks.md` says, as markdown
    diagram       the critical-difference diagram, as SVG
    programs/     one stand-alone program a peer; they import nothing from here
"""
