// Command delayline joins two network namespaces by a link that takes time, for machines whose kernel has no netem.
//
// Each end is a TUN device. A packet read from one end is written to the other when its time has come: the one-way
// delay after it came in, or after the packets before it have passed when the rate is limited. What the link is set to
// can be changed while it carries traffic, over a socket: one line of JSON in, one line out.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

const (
	// Bytes of a virtio_net_hdr, which stands before each packet and says what is left to do: checksum, segments.
	headerSize = 10
	largest    = 65535 + headerSize
	// Packets and bytes that can be under way in one direction: 16 MiB are 11 ms of 12 Gbit/s.
	slots     = 8192
	ringBytes = 16 << 20
	// A limited link drops what would wait longer than this, as a router's queue does.
	longestQueue = 100 * time.Millisecond
	// Below this rate whole segments of 64 KiB would stand in the queue as one, and the link could not be shared.
	fastEnough = 1_000_000_000

	tunSetIff        = 0x400454ca
	tunSetOffload    = 0x400454d0
	tunSetVnetHdrSz  = 0x400454d8
	iffTun           = 0x0001
	iffNoPI          = 0x1000
	iffVnetHdr       = 0x4000
	offloadChecksum  = 0x01
	offloadTCP       = 0x02 | 0x04
	offloadUDP       = 0x20 | 0x40
	prSetTimerSlack  = 29
	cloneNewNetSpace = 0x40000000
)

var setnsNumber = map[string]uintptr{"amd64": 308, "arm64": 268}

// Settings of the link, the same in both directions.
type Settings struct {
	DelayUS int64   `json:"delay_us"` // one way
	Loss    float64 `json:"loss"`     // percent of packets, each way
	RateBPS int64   `json:"rate_bps"` // bits a second, each way; 0 is no limit
	Cut     bool    `json:"cut"`      // drop everything
}

func (s Settings) check() error {
	if s.DelayUS < 0 || s.DelayUS > 10_000_000 {
		return errors.New("delay_us must lie between 0 and 10000000")
	}
	if s.Loss < 0 || s.Loss > 100 {
		return errors.New("loss must lie between 0 and 100")
	}
	if s.RateBPS < 0 {
		return errors.New("rate_bps must not be negative")
	}
	return nil
}

var settings atomic.Pointer[Settings]

var started = time.Now()

func now() int64 { return int64(time.Since(started)) }

type packet struct {
	due        int64
	from, size int
}

// A direction carries packets from one end to the other: its reader appends to a ring, its writer takes from it.
type direction struct {
	in, out    int
	ring       []byte
	queue      [slots]packet
	mutex      sync.Mutex
	filled     *sync.Cond
	head, tail int // packets ever put in and taken out
	free       int // where the next packet goes in the ring
	used       int // bytes of the ring that are taken, gaps at its end included
	gaps       [slots]int

	Packets atomic.Int64
	Bytes   atomic.Int64
	Lost    atomic.Int64
	Full    atomic.Int64
	Refused atomic.Int64
}

func newDirection(in, out int) *direction {
	d := &direction{in: in, out: out, ring: make([]byte, ringBytes)}
	d.filled = sync.NewCond(&d.mutex)
	return d
}

// read runs the near side of a direction. It never waits for the far side: a full link drops.
func (d *direction) read() {
	runtime.LockOSThread()
	buffer := make([]byte, largest)
	chance := rand.New(rand.NewSource(time.Now().UnixNano()))
	var busyUntil, lastDue int64
	for {
		n, err := syscall.Read(d.in, buffer)
		if err == syscall.EINTR || err == syscall.EAGAIN {
			continue
		}
		if err != nil {
			fail("reading from the device", err)
		}
		s := settings.Load()
		d.Packets.Add(1)
		d.Bytes.Add(int64(n - headerSize))
		if s.Cut || (s.Loss > 0 && chance.Float64()*100 < s.Loss) {
			d.Lost.Add(1)
			continue
		}
		due := now()
		if s.RateBPS > 0 {
			if busyUntil < due {
				busyUntil = due
			}
			if busyUntil-due > int64(longestQueue) {
				d.Full.Add(1)
				continue
			}
			busyUntil += int64(n-headerSize) * 8 * int64(time.Second) / s.RateBPS
			due = busyUntil
		}
		due += s.DelayUS * int64(time.Microsecond)
		if due < lastDue {
			due = lastDue // packets keep their order when the delay gets shorter
		}
		lastDue = due
		d.put(buffer[:n], due)
	}
}

func (d *direction) put(data []byte, due int64) {
	d.mutex.Lock()
	gap := 0
	from := d.free
	if from+len(data) > ringBytes {
		gap, from = ringBytes-from, 0
	}
	if d.head-d.tail >= slots || d.used+gap+len(data) > ringBytes {
		d.mutex.Unlock()
		d.Full.Add(1)
		return
	}
	d.mutex.Unlock()
	copy(d.ring[from:], data) // only this side writes here, and the other side does not look before head says so
	d.mutex.Lock()
	d.used += gap + len(data)
	d.free = from + len(data)
	d.queue[d.head%slots] = packet{due, from, len(data)}
	d.gaps[d.head%slots] = gap
	d.head++
	d.mutex.Unlock()
	d.filled.Signal()
}

// write runs the far side of a direction.
func (d *direction) write() {
	runtime.LockOSThread()
	// The kernel may be late by 50 µs for a thread that does not ask for better.
	syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0)
	for {
		d.mutex.Lock()
		for d.head == d.tail {
			d.filled.Wait()
		}
		at := d.tail % slots
		p := d.queue[at]
		d.mutex.Unlock()
		for early := p.due - now(); early > 0; early = p.due - now() {
			nap := syscall.NsecToTimespec(early)
			_ = syscall.Nanosleep(&nap, nil) // interrupted or not, the clock is looked at again
		}
		if !settings.Load().Cut {
			if _, err := syscall.Write(d.out, d.ring[p.from:p.from+p.size]); err != nil {
				d.Refused.Add(1) // the far end takes no packets while its device is down
			}
		}
		d.mutex.Lock()
		d.used -= d.gaps[at] + p.size
		d.tail++
		d.mutex.Unlock()
	}
}

// offload tells the kernel how much of its work it may leave to the far end. Whole segments of up to 64 KiB are
// what makes the link fast; loss and a limited rate count packets as they are on a wire, so then it must cut them.
func offload(device int, s *Settings) {
	if s.Loss > 0 || (s.RateBPS > 0 && s.RateBPS < fastEnough) {
		_ = control(device, tunSetOffload, offloadChecksum)
		return
	}
	if control(device, tunSetOffload, offloadChecksum|offloadTCP|offloadUDP) != nil {
		_ = control(device, tunSetOffload, offloadChecksum|offloadTCP) // kernels before 6.2 have none for UDP
	}
}

func control(device int, request, argument uintptr) error {
	if _, _, number := syscall.Syscall(syscall.SYS_IOCTL, uintptr(device), request, argument); number != 0 {
		return number
	}
	return nil
}

// open makes a TUN device in another network namespace.
func open(namespace, name string) (int, error) {
	runtime.LockOSThread() // and never unlocked: the thread stays in that namespace and ends with this goroutine
	setns, known := setnsNumber[runtime.GOARCH]
	if !known {
		return 0, fmt.Errorf("unknown processor %s", runtime.GOARCH)
	}
	space, err := os.Open(namespace)
	if err != nil {
		return 0, err
	}
	defer space.Close()
	if _, _, number := syscall.RawSyscall(setns, space.Fd(), cloneNewNetSpace, 0); number != 0 {
		return 0, fmt.Errorf("entering %s: %w", namespace, number)
	}
	device, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("/dev/net/tun: %w", err)
	}
	var request struct {
		name  [16]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:15], name)
	request.flags = iffTun | iffNoPI | iffVnetHdr
	if err := control(device, tunSetIff, uintptr(unsafe.Pointer(&request))); err != nil {
		return 0, fmt.Errorf("making %s: %w", name, err)
	}
	size := int32(headerSize)
	if err := control(device, tunSetVnetHdrSz, uintptr(unsafe.Pointer(&size))); err != nil {
		return 0, fmt.Errorf("headers of %s: %w", name, err)
	}
	return device, nil
}

func openInThread(namespace, name string) (device int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		device, err = open(namespace, name)
	}()
	<-done
	return device, err
}

type answer struct {
	Error    string            `json:"error,omitempty"`
	Settings *Settings         `json:"settings"`
	Counters map[string]counts `json:"counters"`
}

type counts struct {
	Packets int64 `json:"packets"`
	Bytes   int64 `json:"bytes"`
	Lost    int64 `json:"lost"`
	Full    int64 `json:"full"`
	Refused int64 `json:"refused"`
}

func (d *direction) counts() counts {
	return counts{d.Packets.Load(), d.Bytes.Load(), d.Lost.Load(), d.Full.Load(), d.Refused.Load()}
}

// serve answers each line: an empty object asks, anything else in it is set.
func serve(connection net.Conn, devices []int, there, back *direction) {
	defer connection.Close()
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		var reply answer
		wanted := *settings.Load()
		err := json.Unmarshal(lines.Bytes(), &wanted)
		if err == nil {
			err = wanted.check()
		}
		if err == nil {
			settings.Store(&wanted)
			for _, device := range devices {
				offload(device, &wanted)
			}
		} else {
			reply.Error = err.Error()
		}
		reply.Settings = settings.Load()
		reply.Counters = map[string]counts{"a_to_b": there.counts(), "b_to_a": back.counts()}
		if json.NewEncoder(connection).Encode(reply) != nil {
			return
		}
	}
}

func fail(doing string, err error) {
	fmt.Fprintf(os.Stderr, "delayline: %s: %v\n", doing, err)
	os.Exit(1)
}

func main() {
	spaceA := flag.String("a", "", "network `namespace` of one end, as a path")
	spaceB := flag.String("b", "", "network `namespace` of the other end, as a path")
	name := flag.String("device", "wan", "`name` of the device in both")
	socket := flag.String("socket", "", "`path` of the socket that takes settings")
	first := flag.String("settings", "{}", "the first settings, as `JSON`")
	flag.Parse()
	initial := Settings{}
	if err := json.Unmarshal([]byte(*first), &initial); err != nil {
		fail("settings", err)
	}
	if err := initial.check(); err != nil {
		fail("settings", err)
	}
	settings.Store(&initial)
	a, err := openInThread(*spaceA, *name)
	if err != nil {
		fail("one end", err)
	}
	b, err := openInThread(*spaceB, *name)
	if err != nil {
		fail("the other end", err)
	}
	devices := []int{a, b}
	for _, device := range devices {
		offload(device, &initial)
	}
	there, back := newDirection(a, b), newDirection(b, a)
	for _, d := range []*direction{there, back} {
		go d.read()
		go d.write()
	}
	_ = os.Remove(*socket)
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		fail("socket", err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			fail("socket", err)
		}
		go serve(connection, devices, there, back)
	}
}
