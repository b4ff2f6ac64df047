"""Clean and PGD accuracy, AutoAttack, and what each image's outcome was."""
