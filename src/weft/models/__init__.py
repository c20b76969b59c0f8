"""The models, each read top to bottom in one sitting."""
