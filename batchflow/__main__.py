"""`python -m batchflow`."""

from batchflow.cli.app import main

main()
