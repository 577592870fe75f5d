package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// audit compares what a client's journal says with what a database holds.
type audit struct {
	// Issuer is the iss of all ID tokens.
	issuer   string
	attempts []attempt
	rows     []row
	spent    []spentJTI
}

// row is a token as the database holds it.
type row struct {
	hash     string
	packages []string
	revoked  bool
}

// spentJTI is a used ID token as the database holds it.
type spentJTI struct{ hash, token string }

// figures are what an audit counted.
type figures struct {
	acknowledged, revocations, audited int
	// cutOff are tokens in the database whose answer never came.
	cutOff int
}

// load reads both sides. The database may be PostgreSQL or SQLite.
func (a *audit) load(ctx context.Context, journal string, db *sql.DB) error {
	var err error
	a.attempts, err = readJournal(journal)
	if err != nil {
		return err
	}
	err = each(ctx, db, `select hashed_token, revoked_at is not null, grants from trustpub_tokens`, func(rows *sql.Rows) error {
		var hash []byte
		var grants string
		var r row
		err := rows.Scan(&hash, &r.revoked, &grants)
		if err != nil {
			return err
		}
		r.hash = string(hash)
		r.packages, err = packagesOfGrants(grants)
		a.rows = append(a.rows, r)
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, db, `select hash, hashed_token from trustpub_used_jtis`, func(rows *sql.Rows) error {
		var hash, token []byte
		err := rows.Scan(&hash, &token)
		a.spent = append(a.spent, spentJTI{string(hash), string(token)})
		return err
	})
}

// each calls do for every row of a query.
func each(ctx context.Context, db *sql.DB, query string, do func(*sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		err = do(rows)
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	return rows.Err()
}

func packagesOfGrants(grants string) ([]string, error) {
	var members []struct{ Ecosystem, Name string }
	err := json.Unmarshal([]byte(grants), &members)
	var packages []string
	for _, m := range members {
		packages = append(packages, m.Ecosystem+"/"+m.Name)
	}
	slices.Sort(packages)
	return packages, err
}

// jtiHash is the key of a used ID token.
func (a *audit) jtiHash(jti string) string {
	hash := sha256.Sum256([]byte(a.issuer + "\x00" + jti))
	return string(hash[:])
}

// history is all that a client did with one ID token.
type history struct {
	jti       string
	tokens    []string // Hashes of those it was given.
	used      bool     // It was told that it was used already.
	uncertain bool     // An outcome is not known.
}

// check returns every way in which the two sides contradict each other.
func (a *audit) check() (figures, []string) {
	var f figures
	var problems []string
	complain := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	rows := make(map[string]row, len(a.rows))
	for _, r := range a.rows {
		if _, twice := rows[r.hash]; twice {
			complain("the token %s has two rows", short(r.hash))
		}
		rows[r.hash] = r
	}
	histories, uncertainRevocations := a.histories(rows, &f, complain)
	for _, h := range histories {
		if len(h.tokens) > 1 {
			complain("the jti %s was exchanged %d times", h.jti, len(h.tokens))
		}
		if h.used && len(h.tokens) == 0 && !h.uncertain {
			complain("the jti %s was refused as already used, but was never exchanged", h.jti)
		}
	}
	a.checkSpent(rows, histories, &f, complain)
	for _, r := range a.rows {
		if r.revoked && !uncertainRevocations[r.hash] {
			complain("the token %s is revoked, which nobody asked for", short(r.hash))
		}
	}
	f.audited = len(a.rows)
	return f, problems
}

// histories puts the attempts together by ID token, keyed by the jti's hash, and checks
// each answer by itself. It also returns the tokens whose revocation was asked for.
func (a *audit) histories(rows map[string]row, f *figures, complain func(string, ...any)) (map[string]*history, map[string]bool) {
	histories, revocations := map[string]*history{}, map[string]bool{}
	for _, at := range a.attempts {
		token := string(at.Token)
		succeeded := at.known && at.Status == 200
		r, stored := rows[token]
		if at.Kind == kindRevoke {
			revocations[token] = true
			if succeeded {
				f.revocations++
				if !r.revoked {
					complain("the revocation of the token %s was acknowledged, and does not hold", short(token))
				}
			}
			continue
		}
		h := histories[a.jtiHash(at.JTI)]
		if h == nil {
			h = &history{jti: at.JTI}
			histories[a.jtiHash(at.JTI)] = h
		}
		switch {
		case succeeded:
			f.acknowledged++
			h.tokens = append(h.tokens, token)
			if !stored {
				complain("the token %s of the jti %s was acknowledged, and is lost", short(token), at.JTI)
			} else if !slices.Equal(r.packages, at.Packages) {
				complain("the token %s is for %v, but its client was told %v", short(token), r.packages, at.Packages)
			}
		case at.unknownOutcome():
			h.uncertain = true
		case at.Code == "already_used":
			h.used = true
		}
	}
	return histories, revocations
}

// checkSpent checks that tokens and used ID tokens belong together, one to one, and
// that each is one that a client knows of.
func (a *audit) checkSpent(rows map[string]row, histories map[string]*history, f *figures, complain func(string, ...any)) {
	spentBy := make(map[string]bool, len(a.spent))
	for _, s := range a.spent {
		_, stored := rows[s.token]
		h := histories[s.hash]
		switch {
		case !stored:
			complain("an ID token is used up for the token %s, which is not stored", short(s.token))
		case spentBy[s.token]:
			complain("two ID tokens are used up for the token %s", short(s.token))
		case h == nil:
			complain("an ID token is used up that no client sent, for the token %s", short(s.token))
		case slices.Contains(h.tokens, s.token):
		case len(h.tokens) > 0:
			complain("the jti %s is used up for the token %s, but its client has another", h.jti, short(s.token))
		case !h.uncertain:
			complain("the token %s of the jti %s was stored, though every client was refused", short(s.token), h.jti)
		default:
			f.cutOff++
		}
		spentBy[s.token] = true
	}
	for hash := range rows {
		if !spentBy[hash] {
			complain("the token %s is stored without the ID token that it was given for", short(hash))
		}
	}
}

func short(hash string) string { return hex.EncodeToString([]byte(hash[:min(len(hash), 6)])) }

// words are what may be the random part of an access token.
var words = regexp.MustCompile(`[0-9A-Za-z]{32,}`)

// checkLogs looks for ID tokens and access tokens in the servers' logs.
func checkLogs(folder string, secrets []string) ([]string, error) {
	known := make(map[string]bool, len(secrets))
	for _, s := range secrets {
		random := strings.TrimPrefix(s, tokenPrefix)
		known[random[:min(32, len(random))]] = true
	}
	logs, err := filepath.Glob(filepath.Join(folder, "*.log"))
	if err != nil {
		return nil, err
	}
	if len(logs) == 0 {
		return nil, errors.New("there are no logs to look into")
	}
	var problems []string
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return nil, err
		}
		for _, forbidden := range []string{"eyJ", tokenPrefix} {
			if bytes.Contains(text, []byte(forbidden)) {
				problems = append(problems, fmt.Sprintf("%s holds %q", filepath.Base(log), forbidden))
			}
		}
		for _, word := range words.FindAll(text, -1) {
			for i := range len(word) - 31 {
				if known[string(word[i:i+32])] {
					problems = append(problems, filepath.Base(log)+" holds the random part of an access token")
				}
			}
		}
	}
	return problems, nil
}
