package main

import (
	"context"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"outcrop/audit"
	"outcrop/iam"
	"outcrop/store"
)

// secured is a data folder with what is sealed in it: root's key, a user's, one that is switched off, a second account's, and
// the record of all that.
type secured struct {
	dir        string
	root, user aws.Credentials
	session    aws.Credentials
}

const otherAccount = "999999999999"

func newSecured(t *testing.T) *secured {
	t.Helper()
	f := &secured{dir: t.TempDir()}
	f.serve(t, func(s *server, _ *client) {
		ctx := t.Context()
		must(t, s.people.EnsureRoot(ctx, otherAccount, "", ""))
		_, err := s.people.CreateUser(ctx, gatewayAccount, "alice")
		must(t, err)
		off, err := s.people.CreateAccessKey(ctx, gatewayAccount, "alice")
		must(t, err)
		must(t, s.people.SetAccessKeyStatus(ctx, gatewayAccount, "alice", off.ID, false))
		key, err := s.people.CreateAccessKey(ctx, gatewayAccount, "alice")
		must(t, err)
		f.user = aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
		f.root = rootOf(t, s, gatewayAccount)
		root := s.people.Principals(gatewayAccount, "us-east-1")[0]
		root.AccessKeyID = f.root.AccessKeyID
		session, err := s.people.GetSessionToken(&root, 0)
		must(t, err)
		f.session = aws.Credentials{AccessKeyID: session.ID, SecretAccessKey: session.Secret, SessionToken: session.Token}
	})
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func rootOf(t *testing.T, s *server, account string) aws.Credentials {
	t.Helper()
	id, secret, err := s.people.RootCredentials(t.Context(), account)
	must(t, err)
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}
}

// serve has use a server on the folder.
func (f *secured) serve(t *testing.T, use func(*server, *client)) {
	t.Helper()
	c := defaults()
	c.Listen = "127.0.0.1:0"
	s, err := New(context.Background(), c, f.dir, io.Discard)
	must(t, err)
	h := httptest.NewServer(s.services)
	use(s, &client{url: h.URL, http: h.Client()})
	h.Close()
	must(t, s.Close())
}

// who is who calls with these credentials, "" for nobody.
func who(t *testing.T, k *client, by aws.Credentials) string {
	t.Helper()
	k.credentials = by
	resp, err := k.send(t.Context(), "GET", "/?Action=GetCallerIdentity&Version=2011-06-15", "sts", "us-east-1", nil, nil)
	if err != nil {
		if !strings.Contains(err.Error(), "InvalidClientTokenId") {
			t.Error(err)
		}
		return ""
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	must(t, err)
	_, said2, _ := strings.Cut(string(said), "<Arn>")
	arn, _, _ := strings.Cut(said2, "</Arn>")
	return arn
}

// check says that whoever is in the folder is still there, and that the session is good or is not.
func (f *secured) check(t *testing.T, session bool) {
	t.Helper()
	f.serve(t, func(s *server, k *client) {
		root := "arn:aws:iam::" + gatewayAccount + ":root"
		want := map[bool]string{true: root}[session]
		if got := []string{who(t, k, f.root), who(t, k, f.user), who(t, k, rootOf(t, s, otherAccount)), who(t, k, f.session)}; !slices.Equal(got,
			[]string{root, "arn:aws:iam::" + gatewayAccount + ":user/alice", "arn:aws:iam::" + otherAccount + ":root", want}) {
			t.Errorf("the callers are %q", got)
		}
	})
	recordedEvents(t, f.dir) // proves the record
}

func (f *secured) keys(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.dir, "outcrop.key"))
	must(t, err)
	return strings.Fields(string(text))
}

// Everything that is sealed is sealed with the new key and with no other; what was sealed outside, sessions, ends.
func TestRotateSealing(t *testing.T) {
	f := newSecured(t)
	f.check(t, true)
	old := f.keys(t)
	f.serve(t, func(*server, *client) {
		if _, err := run(t.Context(), "keys", "rotate-sealing", "--data", f.dir); err == nil || !strings.Contains(err.Error(), "in use by another Outcrop server") {
			t.Errorf("beside a server: %v", err)
		}
	})
	if got := f.keys(t); !slices.Equal(got, old) {
		t.Errorf("what was refused changed the key file")
	}
	said, err := run(t.Context(), "keys", "rotate-sealing", "--data", f.dir)
	if want := "everything is sealed with the new key in " + filepath.Join(f.dir, "outcrop.key") + "\n"; err != nil || said != want {
		t.Fatalf("%q, %v", said, err)
	}
	now := f.keys(t)
	if len(now) != 1 || now[0] == old[0] {
		t.Fatalf("the key file has %d keys, the old one %v", len(now), slices.Contains(now, old[0]))
	}
	f.check(t, false)
	events := recordedEvents(t, f.dir)
	if !slices.ContainsFunc(events, func(e audit.Event) bool {
		return e.Name == "RotateSealingKey" && e.UserIdentity.Type == "Root" && e.ErrorCode == ""
	}) {
		t.Error("the record does not tell it")
	}

	// The old key opens nothing any more.
	must(t, os.WriteFile(filepath.Join(f.dir, "outcrop.key"), []byte(old[0]), 0o600))
	if s, err := New(t.Context(), defaults(), f.dir, io.Discard); err == nil || !strings.Contains(err.Error(), "the key file is not the one it was sealed with") {
		t.Errorf("with the old key: %v", err)
		if err == nil {
			s.Close()
		}
	}
}

// Whatever interrupts a rotation, a server starts and has everything, and the rotation ends when it is run again.
func TestRotateSealingInterrupted(t *testing.T) {
	for name, until := range map[string]func(t *testing.T, f *secured, path string){
		"before the secrets": func(t *testing.T, f *secured, path string) {
			_, err := iam.BeginRotation(path)
			must(t, err)
		},
		"after them": func(t *testing.T, f *secured, path string) {
			sealer, err := iam.BeginRotation(path)
			must(t, err)
			st, err := store.OpenExisting(t.Context(), filepath.Join(f.dir, "outcrop.db"))
			must(t, err)
			must(t, st.Reseal(t.Context(), sealer))
			must(t, st.Close())
		},
		"with a key of one's own": func(t *testing.T, f *secured, path string) {
			must(t, os.WriteFile(path, []byte("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"+f.keys(t)[0]+"\n"), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newSecured(t)
			path := filepath.Join(f.dir, "outcrop.key")
			until(t, f, path)
			both := f.keys(t)
			if len(both) != 2 {
				t.Fatalf("the key file has %d keys", len(both))
			}
			f.check(t, true)
			_, err := run(t.Context(), "keys", "rotate-sealing", "--data", f.dir)
			must(t, err)
			if got := f.keys(t); !slices.Equal(got, both[:1]) {
				t.Errorf("the key file has %d keys, want the first of the two", len(got))
			}
			f.check(t, false)
		})
	}
}

// A key file keeps what it is: its mode, and where it is behind a link.
func TestRotateSealingKeepsTheFile(t *testing.T) {
	f := newSecured(t)
	path, real := filepath.Join(f.dir, "outcrop.key"), filepath.Join(t.TempDir(), "secret")
	must(t, os.Rename(path, real))
	must(t, os.Chmod(real, 0o640))
	must(t, os.Symlink(real, path))
	_, err := run(t.Context(), "keys", "rotate-sealing", "--data", f.dir)
	must(t, err)
	link, err := os.Lstat(path)
	must(t, err)
	file, err := os.Lstat(real)
	must(t, err)
	if link.Mode()&os.ModeSymlink == 0 || file.Mode() != 0o640 {
		t.Errorf("the link is %v, the file %v", link.Mode(), file.Mode())
	}
	f.check(t, false)
}

// Root's new key is root's only one.
func TestRotateRoot(t *testing.T) {
	f := newSecured(t)
	f.serve(t, func(s *server, k *client) {
		said, err := run(t.Context(), "keys", "rotate-root", "--data", f.dir)
		must(t, err)
		must(t, s.people.Refresh(t.Context()))
		now := rootOf(t, s, gatewayAccount)
		if want := "AccessKeyId      " + now.AccessKeyID + "\nSecretAccessKey  " + now.SecretAccessKey + "\n"; said != want || now.AccessKeyID == f.root.AccessKeyID {
			t.Errorf("it said %q, want %q", said, want)
		}
		if got := []string{who(t, k, f.root), who(t, k, now), who(t, k, f.user), who(t, k, f.session)}; got[0] != "" || !strings.HasSuffix(got[1], ":root") || !strings.HasSuffix(got[2], "/alice") || got[3] != "" {
			t.Errorf("the callers are %q", got)
		}
	})
	t.Setenv("OUTCROP_ROOT_ACCESS_KEY_ID", "ROOTOFTHEENVIRONMENT")
	t.Setenv("OUTCROP_ROOT_SECRET_ACCESS_KEY", "a-secret-of-the-environment")
	if _, err := run(t.Context(), "keys", "rotate-root", "--data", f.dir); err == nil || !strings.Contains(err.Error(), "OUTCROP_ROOT_ACCESS_KEY_ID") {
		t.Errorf("a key that the environment says: %v", err)
	}
}
