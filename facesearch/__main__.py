from facesearch.cli.main import run

run()
