"""Tables and figures, made from recorded numbers alone: nothing here trains, evaluates or imports JAX."""
