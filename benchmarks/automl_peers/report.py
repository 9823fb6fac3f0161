"""placeholder"""
def write_report(runs, diagrams): return ""
