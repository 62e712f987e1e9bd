"""The tour: scenes that show the promises, judged by what the clients really received."""
