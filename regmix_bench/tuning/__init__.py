"""The tuning of methods: what is tuned, trials, studies, and the suite of what was best."""
