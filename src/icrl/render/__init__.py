"""An episode as an animation: played (`playback`), drawn (`scene`, `frames`), written (`film`)."""
