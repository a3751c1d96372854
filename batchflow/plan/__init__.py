"""The frozen result of compiling a study: who is asked, what, and where it lies. Three readers: plan, run, status."""
