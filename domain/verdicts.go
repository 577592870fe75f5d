package domain

import "fmt"

// The verdicts of a store are worded here, once, whatever the database.

// AlreadyUsed is the verdict on an ID token that was exchanged before:
// [KindRefused] with [CodeAlreadyUsed].
func AlreadyUsed() *Error {
	return Refuse(CodeAlreadyUsed, "The ID token was exchanged before. Each can be exchanged once: ask the CI provider for a new one.")
}

// PinnedMeanwhile is the verdict on an exchange during which another one has pinned
// the same config: [KindUnavailable], as the next try finds out whether its
// workload is the same.
func PinnedMeanwhile() *Error {
	return Unavailable(CodeStoreUnavailable, nil, "The publisher is in its first exchange with another job at this moment. Try again in a few seconds.")
}

// TokenNotFound is the verdict on the hash of no token that is kept:
// [KindNotFound].
func TokenNotFound() *Error {
	return &Error{Kind: KindNotFound, Code: CodeNotFound, Message: "There is no such access token."}
}

// ConfigNotFound is the verdict on an ID that no config has: [KindNotFound].
func ConfigNotFound(id int64) *Error {
	return &Error{Kind: KindNotFound, Code: CodeNotFound, Message: fmt.Sprintf("There is no publisher with the ID %d.", id)}
}

// DuplicateConfig is the verdict on a config that exists: [KindConflict] with
// [CodeDuplicateConfig].
func DuplicateConfig() *Error {
	return &Error{Kind: KindConflict, Code: CodeDuplicateConfig, Message: "The package has an identical publisher already."}
}

// TooManyConfigs is the verdict on a config for a package that has as many as it
// may have: [KindConflict] with [CodeTooManyConfigs].
func TooManyConfigs(count int) *Error {
	return &Error{
		Kind: KindConflict, Code: CodeTooManyConfigs,
		Message: fmt.Sprintf("The package has %d publishers, which is as many as it may have. Remove one first.", count),
	}
}
