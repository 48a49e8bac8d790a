from facesearch.cli import run

run()
