package iam

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Sealer keeps secrets unreadable at rest: AES-256-GCM under the key of a key file. SigV4 needs the secret itself, so
// it cannot be hashed.
type Sealer struct {
	aead     cipher.AEAD
	sessions cipher.AEAD // under a key of its own
}

const (
	keySize    = 32
	sealFormat = 1 // the first byte of what Seal returns, then the nonce, then the ciphertext
)

// OpenSealer reads the key file at path: 32 bytes, raw or in base64, of a mode that lets nobody in but its owner and its
// group. Where there is none, create makes one, random and
// of mode 0600: only for a database that holds no sealed secret yet, since no new key opens the secrets of another.
// Losing the file loses every secret sealed with it; it is kept apart from backups of the database.
func OpenSealer(path string, create bool) (*Sealer, error) {
	key, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return nil, fmt.Errorf("the key file %s is missing; OUTCROP_KEY_FILE says where it is", path)
		}
		if err := makeKeyFile(path); err != nil {
			return nil, fmt.Errorf("make the key file: %w", err)
		}
		key, err = readKeyFile(path)
	}
	if err != nil {
		return nil, err
	}
	return newSealer(key)
}

func newSealer(key []byte) (*Sealer, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "outcrop session tokens", keySize)
	if err != nil {
		return nil, err
	}
	sessions, err := newAEAD(derived)
	return &Sealer{aead, sessions}, err
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	defer f.Close()
	// A group may read it: that is how containers are given their secrets. Windows has other permissions than these.
	if info, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	} else if mode := info.Mode().Perm(); mode&0o007 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("the key file %s has mode %04o: every user of this machine can use it; chmod 600 it", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if len(b) == keySize {
		return b, nil
	}
	key, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(b)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("the key file %s must hold %d bytes, raw or in base64", path, keySize)
	}
	return key, nil
}

// makeKeyFile writes a new key beside path and links it there: another process that does the same at the same time
// either finds the whole file or makes it, and both then read the one that was first.
func makeKeyFile(path string) error {
	key := make([]byte, keySize)
	rand.Read(key)
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Seal encrypts secret so that Open gives it back only for the same owner (an access key's id).
func (s *Sealer) Seal(secret, owner string) []byte {
	out := make([]byte, 1+s.aead.NonceSize(), 1+s.aead.NonceSize()+len(secret)+s.aead.Overhead())
	out[0] = sealFormat
	rand.Read(out[1:])
	return s.aead.Seal(out, out[1:], []byte(secret), []byte(owner))
}

// Open decrypts what Seal made.
func (s *Sealer) Open(sealed []byte, owner string) (string, error) {
	n := 1 + s.aead.NonceSize()
	if len(sealed) < n || sealed[0] != sealFormat {
		return "", fmt.Errorf("the secret of %s is not in a form that this version knows", owner)
	}
	secret, err := s.aead.Open(nil, sealed[1:n], sealed[n:], []byte(owner))
	if err != nil {
		return "", fmt.Errorf("the secret of %s cannot be opened: the key file is not the one it was sealed with, or the stored secret is damaged", owner)
	}
	return string(secret), nil
}

// sealSession encrypts what a session token says, for one access key id.
func (s *Sealer) sealSession(plain []byte, id string) []byte {
	n := s.sessions.NonceSize()
	out := make([]byte, 1+n, 1+n+len(plain)+s.sessions.Overhead())
	out[0] = sealFormat
	rand.Read(out[1:])
	return s.sessions.Seal(out, out[1:], plain, []byte(id))
}

// openSession decrypts what sealSession made.
func (s *Sealer) openSession(sealed []byte, id string) ([]byte, error) {
	n := 1 + s.sessions.NonceSize()
	if len(sealed) < n || sealed[0] != sealFormat {
		return nil, errors.New("not a session token of this version")
	}
	return s.sessions.Open(nil, sealed[1:n], sealed[n:], []byte(id))
}
