"""The frozen result of compiling a study: who is asked, what is asked, where it lies. Three readers: plan, run, status."""
