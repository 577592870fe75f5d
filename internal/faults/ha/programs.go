package ha

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// programs are the paths of what the cluster consists of.
type programs struct {
	etcd, patroni, haproxy string
	// postgres is the folder of the server's binaries.
	postgres string
}

// findPrograms looks where Debian's packages put the programs, and on PATH.
func findPrograms() (programs, error) {
	var missing []string
	find := func(name, pack string) string {
		path, err := exec.LookPath(name)
		if err != nil {
			path, err = exec.LookPath("/usr/sbin/" + name)
		}
		if err != nil {
			missing = append(missing, pack)
		}
		return path
	}
	found := programs{etcd: find("etcd", "etcd-server"), patroni: find("patroni", "patroni"), haproxy: find("haproxy", "haproxy")}
	servers, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return programs{}, fmt.Errorf("ha: %w", err)
	}
	if len(servers) == 0 {
		missing = append(missing, "postgresql")
	} else {
		slices.SortFunc(servers, func(a, b string) int { return version(a) - version(b) })
		found.postgres = filepath.Dir(servers[len(servers)-1])
	}
	if len(missing) > 0 {
		return programs{}, errors.New("ha: the highly available PostgreSQL needs programs that are not here. Install them with scripts/setup-ha, or with apt-get install -y --no-install-recommends " + strings.Join(missing, " "))
	}
	return found, nil
}

// version returns the number in /usr/lib/postgresql/VERSION/bin/postgres.
func version(server string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(server))))
	return n
}

// credential returns who runs the servers, as PostgreSQL refuses root: the current
// user, or for root the user postgres, to whom folder is then given.
func (programs) credential(folder string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("ha: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("ha: %w", err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("ha: %w", err)
	}
	err = os.Chown(folder, int(uid), int(gid))
	if err != nil {
		return nil, fmt.Errorf("ha: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
