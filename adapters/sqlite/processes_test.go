package sqlite_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/trustpub/trustpub/adapters/sqlite"
	"github.com/trustpub/trustpub/domain"
	"github.com/trustpub/trustpub/trustpubtest"
)

// These make this test program do something with the database at childPath instead of
// running tests: save tokens, or, without a number of calls, look at its lock.
const (
	childPath  = "TRUSTPUB_TEST_SQLITE_PATH"
	childCalls = "TRUSTPUB_TEST_SQLITE_CALLS"
)

func TestMain(m *testing.M) {
	path, calls := os.Getenv(childPath), os.Getenv(childCalls)
	var err error
	switch {
	case path == "":
		os.Exit(m.Run())
	case calls == "":
		err = printLock(path)
	default:
		err = saveTokens(path, calls)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// printLock prints whether another process holds SQLite's shared lock on the file: the
// 510 bytes after the first gigabyte and two (https://www.sqlite.org/src/file/src/os.h).
func printLock(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Start: 1<<30 + 2, Len: 510}
	err = syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock)
	if err != nil {
		return err
	}
	fmt.Print(lock.Type != syscall.F_UNLCK)
	return file.Close()
}

// saveTokens saves a token for each of the jtis 0, 1, 2, … and prints the jti and the
// token's hash when the store has acknowledged it, and nothing when the jti was used.
func saveTokens(path, calls string) error {
	limit, err := strconv.Atoi(calls)
	if err != nil {
		return err
	}
	db, err := sqlite.Open(path)
	if err != nil {
		return err
	}
	store := sqlite.NewStore(db)
	for i := range limit {
		token := domain.AccessToken{IssuedAt: trustpubtest.Now(), ExpiresAt: trustpubtest.Now()}
		_, _ = rand.Read(token.Hash[:])
		err = store.SaveToken(context.Background(), token, numberedJTI(i), nil)
		switch {
		case err == nil:
			fmt.Println(i, hex.EncodeToString(token.Hash[:]))
		case domain.CodeOf(err) != domain.CodeAlreadyUsed:
			return err
		}
	}
	return db.Close()
}

func numberedJTI(i int) domain.UsedJTI {
	return domain.UsedJTI{Issuer: trustpubtest.Issuer, ID: strconv.Itoa(i), ExpiresAt: trustpubtest.Now()}
}

// child returns the command that runs this test program in a process of its own.
func child(t *testing.T, path, calls string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), childPath+"="+path, childCalls+"="+calls)
	command.Stderr = os.Stderr
	return command
}

// parse reads a line that saveTokens printed.
func parse(t *testing.T, line string) (jti int, hash domain.TokenHash) {
	t.Helper()
	number, text, _ := strings.Cut(line, " ")
	jti, err := strconv.Atoi(number)
	require.NoError(t, err)
	n, err := hex.Decode(hash[:], []byte(text))
	require.NoError(t, err)
	require.Equal(t, len(hash), n)
	return jti, hash
}

func TestSeveralProcessesOnOneFileGiveOneTokenForOneJTI(t *testing.T) {
	const calls = 50
	path := newFile(t)
	store := sqlite.NewStore(open(t, path))
	var commands []*exec.Cmd
	var outputs []*strings.Builder
	for range 3 {
		command, output := child(t, path, strconv.Itoa(calls)), &strings.Builder{}
		command.Stdout = output
		require.NoError(t, command.Start())
		commands, outputs = append(commands, command), append(outputs, output)
	}

	winners := map[int]domain.TokenHash{}
	for i, command := range commands {
		require.NoError(t, command.Wait())
		for line := range strings.Lines(outputs[i].String()) {
			jti, hash := parse(t, strings.TrimSpace(line))
			require.NotContains(t, winners, jti)
			winners[jti] = hash
		}
	}
	require.Len(t, winners, calls)
	for _, hash := range winners {
		requireStored(t, store, hash)
	}
}

func TestWhatWasAcknowledgedOutlivesAProcessThatIsKilled(t *testing.T) {
	path := newFile(t)
	open(t, path)
	command := child(t, path, "1000000")
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())

	acknowledged := map[int]domain.TokenHash{}
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		jti, hash := parse(t, lines.Text())
		acknowledged[jti] = hash
		if len(acknowledged) == 30 {
			require.NoError(t, command.Process.Kill())
		}
	}
	require.Error(t, command.Wait())
	require.GreaterOrEqual(t, len(acknowledged), 30)

	db := open(t, path)
	store := sqlite.NewStore(db)
	for jti, hash := range acknowledged {
		requireStored(t, store, hash)
		err := store.SaveToken(t.Context(), domain.AccessToken{Hash: domain.TokenHash{1}}, numberedJTI(jti), nil)
		require.Equal(t, domain.CodeAlreadyUsed, domain.CodeOf(err), "%v", err)
	}
	var integrity string
	require.NoError(t, db.Writer().QueryRowContext(t.Context(), `pragma integrity_check`).Scan(&integrity))
	require.Equal(t, "ok", integrity)
}
