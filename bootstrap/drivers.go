package bootstrap

// The driver of the embedded database registers itself as "sqlite".
import _ "modernc.org/sqlite"
