// The packages golang.org/x/crypto/ssh and github.com/pkg/sftp: as their
// documentation shows them, or set by hand. See kit.mjs.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

type host struct {
	Hostname   string `json:"hostname"`
	Port       int    `json:"port"`
	User       string `json:"user"`
	KeyPath    string `json:"keyPath"`
	KnownHosts string `json:"knownHosts"`
}

type task struct {
	Name    string `json:"name"`
	IsTuned bool   `json:"isTuned"`
	Host    host   `json:"host"`
	Hosts   []host `json:"hosts"`
	Count   int    `json:"count"`
	Callers int    `json:"callers"`
	Bytes   int64  `json:"bytes"`
	Here    string `json:"here"`
	There   string `json:"there"`
}

type result struct {
	Samples []float64 `json:"samples"`
	Seconds float64   `json:"seconds"`
	Failed  int       `json:"failed"`
	Why     string    `json:"why,omitempty"`
	Bytes   int64     `json:"bytes,omitempty"`
}

var (
	todo     task
	sessions = make(chan struct{}, 8)
	dials    = make(chan struct{}, 8)
)

// patiently waits for its turn, and tries again what the server refuses.
func patiently(gate chan struct{}, work func() error, isRefused func(error) bool) error {
	if !todo.IsTuned {
		return work()
	}
	gate <- struct{}{}
	defer func() { <-gate }()
	for pause := time.Millisecond; ; pause = min(pause*2, 500*time.Millisecond) {
		err := work()
		if err == nil || !isRefused(err) {
			return err
		}
		time.Sleep(pause)
	}
}

func min(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

func isRefusal(err error) bool {
	var refused *ssh.OpenChannelError
	return errors.As(err, &refused)
}

func isDropped(err error) bool {
	var other net.Error
	text := err.Error()
	return errors.As(err, &other) || strings.Contains(text, "EOF") || strings.Contains(text, "reset by peer")
}

func open(h host) (client *ssh.Client, err error) {
	key, err := os.ReadFile(h.KeyPath)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		return nil, err
	}
	known, err := knownhosts.New(h.KnownHosts)
	if err != nil {
		return nil, err
	}
	config := &ssh.ClientConfig{
		User:            h.User,
		Auth:            []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: known,
		// Else it agrees on a kind of key that known_hosts does not have.
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}
	err = patiently(dials, func() (err error) {
		client, err = ssh.Dial("tcp", fmt.Sprintf("%s:%d", h.Hostname, h.Port), config)
		return err
	}, isDropped)
	return client, err
}

func run(client *ssh.Client, command string) (output []byte, err error) {
	err = patiently(sessions, func() error {
		session, err := client.NewSession()
		if err != nil {
			return err
		}
		defer session.Close()
		output, err = session.Output(command)
		return err
	}, isRefusal)
	return output, err
}

func right(client *ssh.Client, text string) error {
	output, err := run(client, "echo "+text)
	if err == nil && strings.TrimSpace(string(output)) != text {
		err = fmt.Errorf("%q is not %s", output, text)
	}
	return err
}

// tally counts what was well and what was not.
type tally struct {
	sync.Mutex
	result
}

func (t *tally) count(work func() error) {
	started := time.Now()
	err := work()
	ms := millis(started)
	t.Lock()
	defer t.Unlock()
	if err == nil {
		t.Samples = append(t.Samples, ms)
		return
	}
	t.Failed++
	if t.Why == "" {
		t.Why = err.Error()
	}
}

func millis(since time.Time) float64 {
	return float64(time.Since(since).Nanoseconds()) / 1e6
}

func one(work func() error) (result, error) {
	started := time.Now()
	err := work()
	ms := millis(started)
	return result{Samples: []float64{ms}, Seconds: ms / 1000, Bytes: todo.Bytes}, err
}

func do() (found result, err error) {
	if todo.Name == "dial" || todo.Name == "cold" {
		// As the others do, whose first dial loads and compiles.
		client, err := open(todo.Host)
		if err != nil {
			return found, err
		}
		if err := right(client, "warm"); err != nil {
			return found, err
		}
		client.Close()
	}
	started := time.Now()
	if todo.Name == "dial" {
		for i := 0; i < todo.Count; i++ {
			dialled := time.Now()
			client, err := open(todo.Host)
			if err != nil {
				return found, err
			}
			found.Samples = append(found.Samples, millis(dialled))
			client.Close()
		}
		found.Seconds = time.Since(started).Seconds()
		return found, nil
	}
	all := &tally{}
	var waiting sync.WaitGroup
	if todo.Name == "cold" {
		for _, h := range todo.Hosts {
			waiting.Add(1)
			go func(h host) {
				defer waiting.Done()
				all.count(func() error {
					client, err := open(h)
					if err != nil {
						return err
					}
					return right(client, h.Hostname)
				})
			}(h)
		}
		waiting.Wait()
		all.Seconds = time.Since(started).Seconds()
		return all.result, nil
	}
	client, err := open(todo.Host)
	if err != nil {
		return found, err
	}
	switch todo.Name {
	case "exec":
		for i := 0; i < 10+todo.Count; i++ {
			if i == 10 {
				started = time.Now()
			}
			begun := time.Now()
			if _, err := run(client, "true"); err != nil {
				return found, err
			}
			if i >= 10 {
				found.Samples = append(found.Samples, millis(begun))
			}
		}
		found.Seconds = time.Since(started).Seconds()
		return found, nil
	case "burst":
		if err := right(client, "warm"); err != nil {
			return found, err
		}
		numbers := make(chan int, todo.Count)
		for i := 0; i < todo.Count; i++ {
			numbers <- i
		}
		close(numbers)
		started = time.Now()
		for i := 0; i < todo.Callers; i++ {
			waiting.Add(1)
			go func() {
				defer waiting.Done()
				for number := range numbers {
					all.count(func() error { return right(client, fmt.Sprint(number)) })
				}
			}()
		}
		waiting.Wait()
		all.Seconds = time.Since(started).Seconds()
		return all.result, nil
	case "bulk":
		return one(func() error {
			output, err := run(client, fmt.Sprintf("head -c %d /dev/zero", todo.Bytes))
			return sized(int64(len(output)), err)
		})
	}
	return one(func() error { return transfer(client) })
}

func transfer(client *ssh.Client) error {
	var options []sftp.ClientOption
	if todo.IsTuned {
		options = append(options, sftp.UseConcurrentWrites(true))
	}
	files, err := sftp.NewClient(client, options...)
	if err != nil {
		return err
	}
	defer files.Close()
	var from io.ReadCloser
	var to io.WriteCloser
	if todo.Name == "put" {
		if from, err = os.Open(todo.Here); err == nil {
			to, err = files.Create(todo.There)
		}
	} else if from, err = files.Open(todo.There); err == nil {
		to, err = os.Create(todo.Here)
	}
	if err != nil {
		return err
	}
	defer from.Close()
	count, err := io.Copy(to, from)
	if closed := to.Close(); err == nil {
		err = closed
	}
	return sized(count, err)
}

func sized(count int64, err error) error {
	if err == nil && count != todo.Bytes {
		err = fmt.Errorf("%d bytes", count)
	}
	return err
}

func main() {
	err := json.Unmarshal([]byte(os.Args[1]), &todo)
	var found result
	if err == nil {
		found, err = do()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(found)
}
