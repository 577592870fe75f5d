package httpapi_test

import (
	"net/http"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// No t.Parallel: it needs the one processor for itself.
func TestARequestThatIsOneTooManyIsRefusedBeforeThoseAdmittedAreWorkedOn(t *testing.T) {
	const most, tooMany = 200, 20
	w := waiter{entered: make(chan struct{}, most), letGo: make(chan struct{})}
	r := newRegistry(t, func(cfg *setup) { cfg.Exchange, cfg.MaxRequests = w, most })
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))

	begun := make(chan int, tooMany)
	var clients sync.WaitGroup
	for range most + tooMany { // All of them are ready to run before the first one runs.
		clients.Go(func() {
			if r.send(t, jsonTo(http.MethodPut, tokensPath, `{"jwt":"x"}`)).StatusCode == http.StatusServiceUnavailable {
				begun <- len(w.entered)
			}
		})
	}
	for range tooMany {
		require.Less(t, <-begun, most, "how many of those admitted were worked on before a refusal")
	}
	close(w.letGo)
	clients.Wait()
}
