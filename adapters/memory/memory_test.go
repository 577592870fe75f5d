package memory_test

import (
	"testing"

	"github.com/trustpub/trustpub/adapters/memory"
	"github.com/trustpub/trustpub/trustpubtest"
)

func TestStore(t *testing.T) {
	trustpubtest.TestStore(t, func(*testing.T) trustpubtest.Store { return memory.New() })
}

func TestOnlyTheConfigsInQuestionAreRead(t *testing.T) {
	trustpubtest.TestFindsNothingElse(t, memory.New())
}

func BenchmarkStore(b *testing.B) { trustpubtest.BenchmarkStore(b, memory.New()) }
