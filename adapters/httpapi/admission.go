package httpapi

import (
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/trustpub/trustpub/adapters/httpapi/request"
	"github.com/trustpub/trustpub/domain"
)

// DefaultMaxRequests is how many requests are worked on at a time. It is a multiple of
// what keeps a database busy, so that bursts are worked off, and small enough that who
// is admitted has his answer long before the request's time is over: at a thousand
// exchanges a second, the last of them waits for half a second.
const DefaultMaxRequests = 512

// crowd is how many requests at work are too many to have a processor soon: verifying so
// many takes some ten milliseconds of one core. They are also as many as share a commit.
const crowd = 128

// refusalLogInterval is how often it is told that requests are being refused. They have
// no line of their own above debug: a log would slow down what is too slow already.
const refusalLogInterval = time.Second

// RateLimiter tells whether somebody may ask once more; *ratelimit.Limiter is one.
// Implementations are safe for concurrent use.
type RateLimiter interface {
	// Take counts a request of the one with that key. Where it is one too many, it
	// counts nothing and returns false and how long to wait.
	Take(key string) (wait time.Duration, ok bool)
}

// admission lets in as many requests as can be worked on, and turns the others away
// before anything is done for them.
type admission struct {
	most      int64
	addresses RateLimiter // nil for no limit.
	logger    *slog.Logger
	now       func() time.Time

	inProgress atomic.Int64
	refused    atomic.Int64 // Since the last line that told of it.
	loggedAt   atomic.Int64 // In nanoseconds since 1970.
}

// admit is the middleware. Endpoints for operators are always open.
//
// A place is taken when the body is here: otherwise a client that sends its body byte
// by byte would hold one for nothing, and some hundred of them the whole server. When
// all places are taken, though, the body is not waited for.
func (a *API) admit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		dialect := a.dialectOf(c.Request().URL.Path)
		if dialect == nil {
			return next(c)
		}
		err := a.admission.check(c, dialect)
		if err == nil {
			request.ReadAhead(c.Request(), maxBodyOf(dialect))
			err = a.admission.enter()
		}
		if err != nil {
			a.admission.tell(c, err)
			return errors.Join(err, dialect.WriteError(c, err))
		}
		defer a.admission.leave()
		a.admission.giveWay()
		return next(c)
	}
}

// check refuses what is refused whatever the body may be.
func (a *admission) check(c echo.Context, dialect Dialect) error {
	if a.inProgress.Load() >= a.most {
		return overloaded()
	}
	if a.addresses == nil || !dialect.IsExchange(c.Request().Method, c.Path()) {
		return nil
	}
	wait, ok := a.addresses.Take(networkOf(c.RealIP()))
	if !ok {
		return domain.Limited(wait, "Too many ID tokens are exchanged from this address. Try again after the time that Retry-After tells.")
	}
	return nil
}

func (a *admission) enter() error {
	if a.inProgress.Add(1) > a.most {
		a.leave()
		return overloaded()
	}
	return nil
}

// giveWay lets whatever else is ready to run go first when there is a crowd. Most of an
// exchange's CPU time is its signature. Where hundreds of them are admitted at once, all
// would be verified before anybody looked at the request that came next, although
// refusing it takes no time.
func (a *admission) giveWay() {
	if a.inProgress.Load() > crowd {
		runtime.Gosched()
	}
}

func (a *admission) leave() { a.inProgress.Add(-1) }

func overloaded() error {
	return domain.Unavailable(domain.CodeOverloaded, nil, "The registry is busy with as many requests as it can work on. Try again in a few seconds.")
}

// tell counts a refusal, and says how many there were if it was not said just now.
func (a *admission) tell(c echo.Context, err error) {
	a.refused.Add(1)
	now, last := a.now().UnixNano(), a.loggedAt.Load()
	if now-last < int64(refusalLogInterval) || !a.loggedAt.CompareAndSwap(last, now) {
		return
	}
	a.logger.WarnContext(c.Request().Context(), "requests are turned away",
		slog.Int64("requests", a.refused.Swap(0)), slog.String("code", string(domain.CodeOf(err))))
}

// maxBodyOf returns the most bytes that the bodies of a dialect may have.
func maxBodyOf(dialect Dialect) int64 {
	if d, ok := dialect.(interface{ MaxBody() int64 }); ok {
		return d.MaxBody()
	}
	return request.MaxBody
}
