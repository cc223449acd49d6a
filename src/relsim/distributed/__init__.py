"""The stages on more than one process or machine, by Ray Data: pictures are read on CPUs, the model runs on actors."""
