"""Values that everything else speaks of: frozen, validated, free of side effects."""
