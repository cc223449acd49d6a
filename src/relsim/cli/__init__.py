"""The command line: it reads arguments, calls one function of the library, and prints what it returns."""
