"""What `icrl benchmark` measures. Records come back; nothing is printed or written here, and the clock is an argument.

The protocol is the same everywhere (`programs.py`): compiling is timed apart, one round warms up, repetitions of all
programs that are compared are interleaved so that drift of the machine hits all alike, and ratios are taken pair by
pair within a round. Medians stand with the interval that holds the middle half of the repetitions.
"""
