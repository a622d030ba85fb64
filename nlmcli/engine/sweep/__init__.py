"""Many runs of one study: which options each of them has, who runs it, and what came out."""
