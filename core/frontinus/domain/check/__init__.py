"""Why a guest cannot be, outside its devices."""
