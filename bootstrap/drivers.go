package bootstrap

import (
	// The driver of the embedded database registers itself as "sqlite".
	_ "modernc.org/sqlite"
)
