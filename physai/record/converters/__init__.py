"""Other people's dataset formats; each module has ``write(files, folder, manifest)``."""
