// The peer of tests/js/guests/before_stamp.js.
onRecordCreate((e) => {
  e.record.set('stamped_by', 'hook')
  e.next()
}, 'stamped_by_hook')
